"""All tables of the battery."""

from collections.abc import Iterator

from tests.hostile.archives import archives, archives_over_a_store
from tests.hostile.case import Case
from tests.hostile.datasets import image_folders, npz_files
from tests.hostile.options import options, stored_options
from tests.hostile.queries import queries
from tests.hostile.records import records
from tests.hostile.run_files import checkpoints, claims, run_files
from tests.hostile.searches import journals, search_files
from tests.hostile.studies import settings, studies, study_paths

TABLES = (
    studies, study_paths, settings, queries, options, stored_options, search_files, npz_files, image_folders, records,
    archives,
    archives_over_a_store, journals, checkpoints, run_files, claims,
)  # fmt: skip


def all_cases() -> Iterator[Case]:
    """Yield every case, group by group."""
    for table in TABLES:
        yield from table()
