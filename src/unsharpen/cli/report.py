"""``unsharpen report``: one page about several runs or evaluations."""
