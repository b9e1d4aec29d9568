"""Android devices over adb: ways in, commands, files."""
