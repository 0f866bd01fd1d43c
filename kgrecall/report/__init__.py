"""Pictures and the self-contained page that shows them; needs the ``demo`` extra (matplotlib)."""
