"""Android devices as targets: facts, steady state, files, the agent."""
