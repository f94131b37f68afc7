"""Work that survives: jobs in SQLite, workers that may die, clips that are published once.

    states      what a job can be           store    where jobs are, and who may change them
    records     what is kept of a job       worker   one device's process
    clock       time that does not jump     files    pictures in, clips out
    processors  how workers share them      stills   thumbnails, sheets and last frames of clips
    making      a job's request, and report on_ray   a process that feeds the actors of a Ray cluster
                                            actor    what runs on such a cluster

Nothing here but the worker's own process, or the actor's, imports torch. It does not know HTTP.
"""
