"""What works on this machine and what does not, said in one line each."""
