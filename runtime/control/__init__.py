"""What is changed, watched and spared while a run goes on: keys, the file of settings, heat, and the service."""
