"""Which models exist, where their files are, and how they are fetched and checked.

    known ─▶ find ─▶ ModelFiles          nothing here asks the network
    known ─▶ pull (plan, carry out) ─▶ the Hugging Face cache

`layout` knows names of files, `cache` the folders, `hub` the network, `transfer` one download, `record` what is
written down. Nothing in it knows tensors. Importing it is quick: huggingface_hub is loaded where it is used.
"""

from unstill.catalog.find import find_model, hash_weights
from unstill.catalog.hub import Hub
from unstill.catalog.inventory import ModelStatus, list_models, read_record
from unstill.catalog.known import CATALOG, KnownModel
from unstill.catalog.pull import Pulled, PullPlan, PullProgress, carry_out, plan_pull, pull
from unstill.catalog.record import Licence, Record

__all__ = [
    "CATALOG",
    "Hub",
    "KnownModel",
    "Licence",
    "ModelStatus",
    "PullPlan",
    "PullProgress",
    "Pulled",
    "Record",
    "carry_out",
    "find_model",
    "hash_weights",
    "list_models",
    "plan_pull",
    "pull",
    "read_record",
]
