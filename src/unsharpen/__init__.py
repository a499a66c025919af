"""Keep Pass@k while reinforcement learning raises Pass@1.

Example:
    >>> from unsharpen import GroupBatch, get_method
    >>> batch = GroupBatch(rewards=[[1.0, 0.0, 0.0, 0.0]], correct=[[True, False, False, False]])
    >>> [round(a, 3) for a in get_method("grpo").advantages(batch).tolist()[0]]
    [1.5, -0.5, -0.5, -0.5]
"""

from unsharpen.advantages import suggest_gammas
from unsharpen.batch import GroupBatch
from unsharpen.methods import Method, get_method, list_methods

__version__ = "0.1.0"
__all__ = ["GroupBatch", "Method", "__version__", "get_method", "list_methods", "suggest_gammas"]
