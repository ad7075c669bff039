// az deployment sub create --location westeurope --parameters infra/azure/prod.bicepparam
using 'main.bicep'

param environmentName = 'prod'
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param size = 'prod'
param privateNetworking = true
param operatorPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param operatorPrincipalType = 'Group'
param alertEmail = readEnvironmentVariable('CASTIEL_ALERT_EMAIL', '')
