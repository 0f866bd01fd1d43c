"""The graph as arrays: what a store holds, as positions, compressed rows, events and walks."""
