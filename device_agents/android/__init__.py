"""Android devices as targets: identity, performance mode, files, the agent."""
