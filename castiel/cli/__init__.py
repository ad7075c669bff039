"""The operator's command: one module per group of commands, thin over the services that ``bootstrap`` builds."""
