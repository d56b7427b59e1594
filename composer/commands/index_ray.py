"""``vignette index --engine ray``: the work on Ray, the shards it makes, and the library they make."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

from composer.commands.options import at_least


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    ray = parser.add_argument_group("on several machines (docs/cluster.md)")
    ray.add_argument("--engine", choices=["local", "ray"], default="local", help="who does the work (default: local)")
    ray.add_argument("--ray-address", metavar="ADDRESS", default="", help="a Ray cluster (default: start one here)")
    ray.add_argument(
        "--shards",
        metavar="DIR",
        help="where the Parquet shards are kept: a folder or s3://… (default: beside the library)",
    )
    ray.add_argument(
        "--encoders",
        metavar="N",
        type=int,
        default=0,
        help="encoders at work (default: 1 on a cluster, here one a core, at most 4)",
    )
    ray.add_argument("--gpus-each", metavar="N", type=float, default=0.0, help="GPUs of each encoder (default: 0)")


def run_on_ray(args: argparse.Namespace) -> int:
    """Shards first, then the library that they make."""
    from composer.commands.index import DRAFTS, describe_as_asked, tell_report
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import note, progress_of, say
    from composer.errors import UsageError
    from composer.pipeline.loading import load_drafting, load_encoder
    from image_db.cluster.filling import Drafted, ShardContents, fill_library
    from image_db.cluster.ray_index import RayOptions, index_on_ray
    from image_db.cluster.shards import ShardFolder, shards_beside
    from image_db.cluster.sources import list_sources
    from image_db.library import Library
    from image_db.scan import Exclusion
    from image_db.stores.addresses import is_address, milvus_address
    from retrieval.stores.store_loading import load_store

    if args.watch:
        raise UsageError("not_on_ray", option="--watch")
    if is_address(args.library):
        if args.shards is None:
            raise UsageError("shards_not_named")
        if args.describe not in (None, DRAFTS):
            raise UsageError("not_in_a_store", option=f"--describe {args.describe}")
    at_least(0, encoders=args.encoders)
    settings = settings_for(args.profile, args.library, encoder_only=True, drafts=not args.no_describe)
    sources = list_sources(args.paths, Exclusion(args.exclude))
    encoder = load_encoder(settings)
    identity = encoder.identity
    shards = ShardFolder(args.shards or shards_beside(args.library.expanduser().absolute()))
    options = RayOptions(address=args.ray_address, encoders=args.encoders, gpus_each=args.gpus_each)
    with progress_of(say("pictures")) as progress:
        made = index_on_ray(sources, shards, identity, partial(load_encoder, settings), options, progress)
    if made.brought:
        key = "clip_vectors_used" if made.trusted == made.brought else "clip_vectors_other"
        note(say(key, brought=made.brought, trusted=made.trusted, encoder=identity.name))
    if is_address(args.library):
        contents = ShardContents(shards, sources)
        read = (
            Drafted(contents.pictures, encoder, load_drafting(settings, encoder))
            if args.describe
            else contents.pictures
        )
        with progress_of(say("pictures_loaded")) as progress:
            pictures = load_store(args.library, identity, read, progress)
        failed = contents.failures()
        shown = milvus_address(args.library).shown  # a Path has lost a slash
        print(say("store_loaded", pictures=pictures, failed=len(failed), library=shown, shards=shards.address))
        return 0 if pictures else 1
    with Library.open_or_create(args.library, identity) as library, library.writing():
        report = fill_library(library, encoder, shards, sources)
        report = replace(report, seconds=made.seconds + report.seconds)
        pictures = len(library)
        described = describe_as_asked(library, encoder, settings, args.describe, unasked=not args.no_describe)
    told = {"shards": made.shards, "kept": made.kept, "brought": made.brought, "trusted": made.trusted}
    tell_report(args, report, pictures, described, **told, ray=made.stats)
    return 0 if report.usable else 1
