"""What every test, every chaos run and every measurement in Python shares: one starter of the proxy (`proxy`), one
engine that a test scripts byte by byte (`scripted_engine`), one that fails on command (`failing_engine`)."""
