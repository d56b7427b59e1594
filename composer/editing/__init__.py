"""What a person does to an article: functions from one ``Article`` to the next, and the steps back.

``sections`` and ``pictures`` are pure and quick; ``picture_search``, ``proposals``, ``caption_suggestions`` and
``rerun`` ask a model or a library.
"""
