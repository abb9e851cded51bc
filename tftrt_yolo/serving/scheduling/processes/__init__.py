"""Models in processes of their own: what runs there, and the threads of this process that hold them."""
