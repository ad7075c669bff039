"""The providers' sandbox: local servers that behave as Salesforce and the others do, for tests and the demo."""
