"""What measures batchproxy: live comparisons in Python (`python3 -m bench.lab`), and the C++ programs that they use."""
