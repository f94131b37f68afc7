"""Work that survives: jobs in SQLite, workers that may die, clips that are published once.

    states   what a job can be           store    where jobs are, and who may change them
    clock    time that does not jump     worker   one device's process
    files    pictures in, clips out

Nothing here but the worker's own process imports torch. It does not know HTTP.
"""
