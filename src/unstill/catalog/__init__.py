"""Which models exist, where their files are, and how they are fetched and checked.

    known ─▶ find ─▶ ModelFiles          nothing here asks the network
    known ─▶ pull (plan, carry out) ─▶ the Hugging Face cache

`layout` knows names of files, `cache` the folders, `hub` the network, `transfer` one download, `record` what is
written down. Nothing in it knows tensors. Importing it is quick: huggingface_hub is loaded where it is used.
"""
