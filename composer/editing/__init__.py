"""What a person does to an article: functions from one ``Article`` to the next, and the steps back.

Everything here is pure and quick; what asks a model or a library is in ``composer.editing.picture_search``.
"""

from composer.editing.history import History, Step
from composer.editing.pictures import (
    Alternative,
    add_place,
    alternatives,
    delete_picture,
    insert_picture,
    lock_placement,
    move_picture,
    picture_index,
    place_index,
    remove_picture,
    replace_picture,
    set_alt,
    set_caption,
    show_picture,
)
from composer.editing.proposals import PROPOSAL_ACTIONS, Proposal, accept
from composer.editing.sections import (
    add_section,
    delete_section,
    edit_text,
    lock_section,
    merge_sections,
    move_section,
    set_title,
    split_points,
    split_section,
)
from composer.editing.wording import ACTIONS, step_label
from composer.errors import EditError
from composer.pipeline.captions import library_words

__all__ = [
    "ACTIONS",
    "PROPOSAL_ACTIONS",
    "Alternative",
    "EditError",
    "History",
    "Proposal",
    "Step",
    "accept",
    "add_place",
    "add_section",
    "alternatives",
    "delete_picture",
    "delete_section",
    "edit_text",
    "insert_picture",
    "library_words",
    "lock_placement",
    "lock_section",
    "merge_sections",
    "move_picture",
    "move_section",
    "picture_index",
    "place_index",
    "remove_picture",
    "replace_picture",
    "set_alt",
    "set_caption",
    "set_title",
    "show_picture",
    "split_points",
    "split_section",
    "step_label",
]
