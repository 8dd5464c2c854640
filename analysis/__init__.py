"""Commands and studies beside the package; `ntkspec` imports none of them."""
