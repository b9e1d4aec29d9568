"""Android devices over adb: connections, commands, files."""
