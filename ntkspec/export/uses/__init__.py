"""The uses of each parameter in a forward pass, as a table or as a matrix, read off autograd's graph."""
