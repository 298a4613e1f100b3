"""Why did a convolutional network say so? The maths behind the page, for people who write Python.

In three lines:

    from explainers import load, explain
    network = load("lite0")
    explain(network, "cat.jpg", "tabby")
"""

from . import early as early  # before all others
from . import targets
from .api import again, ask, explain, explain_each
from .errors import ExplainError, ModelError, OptionError, PhotoError, TargetError
from .explanation import Explanation, Note, Question, to_npz
from .methods import backprop, cam, occlusion, rise  # each registers its methods
from .methods import patches as patchwise
from .network import Network, View
from .own import wrap
from .photo import Photo, read
from .registry import METHODS, Method
from .scores.stability import steady
from .zoo import load

__all__ = [
    "METHODS",
    "ExplainError",
    "Explanation",
    "Method",
    "ModelError",
    "Network",
    "Note",
    "OptionError",
    "Photo",
    "PhotoError",
    "Question",
    "TargetError",
    "View",
    "again",
    "ask",
    "backprop",
    "cam",
    "explain",
    "explain_each",
    "load",
    "occlusion",
    "patchwise",
    "read",
    "rise",
    "steady",
    "targets",
    "to_npz",
    "wrap",
]
