"""What an encoder's cosines look like between things that have nothing to do with each other.

A few dozen sentences about unrelated everyday subjects are compared with a sample of the library's pictures and with
each other. This makes cosines of any encoder comparable with those the fusion weights were fitted on.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from retrieval.fusion import CosineScale, CosineScales
from vision.interfaces import JointEncoder

PROBES = (
    "A dog runs along the beach",
    "Fresh bread on a wooden table",
    "The skyline of a large city at night",
    "Two children play chess in a park",
    "A steam locomotive crosses a stone bridge",
    "Ripe tomatoes on the vine",
    "An astronaut floats above the Earth",
    "A woman gives a speech in front of a crowd",
    "Snow-covered mountains reflected in a lake",
    "A surgeon operates on a patient",
    "The ruins of an ancient temple",
    "A red sports car on a winding road",
    "Bacteria under the microscope",
    "A jazz band on a small stage",
    "Wind turbines in a green field",
    "An old map of the world",
    "A cup of coffee beside an open book",
    "Soldiers march through a village",
    "A whale leaps out of the sea",
    "Workers assemble cars in a factory",
    "A bouquet of yellow tulips",
    "Judges in black robes at a court",
    "Lightning strikes above a desert",
    "A carpenter saws a plank of oak",
    "Penguins on an ice floe",
    "A laptop with charts on its screen",
    "Dancers in traditional dress at a festival",
    "An empty classroom with rows of desks",
    "A volcano erupts at dusk",
    "Grandmother and grandson bake a cake",
    "A football player kicks the ball",
    "The portrait of a king in oil",
    "Cyclists in a mountain race",
    "Chemical flasks with coloured liquids",
    "A butterfly on a purple flower",
    "Ships in a busy harbour",
    "A protest with signs in front of a parliament",
    "The keys of a grand piano",
    "A camel caravan in the dunes",
    "Microchips on a circuit board",
)
SAMPLE = 2_000  # pictures, evenly spread over the library
# A library of two pictures, or of one motif, must not make a tiny difference look like a large one.
_LEAST_STD = 0.02
_known: WeakKeyDictionary[JointEncoder, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def measure(encoder: JointEncoder, sample: np.ndarray) -> CosineScales:
    """The scales of this encoder on pictures like those of ``sample`` (n, D) float32."""
    texts, sentences = read_probes(encoder)
    return CosineScales(
        visual=_scale(texts @ sample.T),
        textual=_scale(_pairs(sentences)),
        example=_scale(_pairs(sample)),
    )


def read_probes(encoder: JointEncoder) -> tuple[np.ndarray, np.ndarray]:
    """The sentences as what pictures should show, and for their meaning. A second's work for a large text tower, so
    once an encoder, whatever library it searches.
    """
    found = _known.get(encoder)
    if found is None:
        found = _known[encoder] = encoder.encode_texts(PROBES), encoder.encode_sentences(PROBES)
    return found


def _pairs(vectors: np.ndarray) -> np.ndarray:
    """Cosines of all different pairs."""
    cosines = vectors @ vectors.T
    return cosines[np.triu_indices(len(vectors), 1)]


def _scale(cosines: np.ndarray) -> CosineScale:
    if cosines.size < 2:
        return CosineScale(0.0, 0.1)
    return CosineScale(float(cosines.mean()), max(float(cosines.std()), _LEAST_STD))
