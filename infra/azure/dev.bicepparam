// az deployment sub create --location westeurope --parameters infra/azure/dev.bicepparam
using 'main.bicep'

param environmentName = 'dev'
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param size = 'dev'
param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param alertEmail = readEnvironmentVariable('CASTIEL_ALERT_EMAIL', '')
