"""``python -m unsharpen``, which is what ``accelerate launch -m unsharpen train ...`` calls."""

from unsharpen.cli import main

if __name__ == "__main__":
    main()
