"""Azure Key Vault's secrets API, spoken as azure-keyvault-secrets expects it, over HTTPS on this machine."""
