"""Picture files of any format, read at their full depth; `read` chooses a reader by how a file begins."""
