// One function app on its own Flex Consumption plan, with the storage of its host.
// https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan
param location string
param tags object
param token string

@description('orchestrator, inbound, outbound or webhook.')
param appName string

@description('Every function of the package, and those of them that run in this app.')
param functionNames string[]
param ownFunctions string[]

param identityId string
param identityClientId string
param identityPrincipalId string

param storageSku string

@description('maximumInstanceCount, instanceMemoryMB and alwaysReady of this app.')
param scale object

@description('`http`, or `function:<name>`: whose instances are kept ready.')
param alwaysReadyGroup string

@description('The app takes requests from the internet; the others take none.')
param hasHttp bool
param zoneRedundant bool

@description('Subnets and DNS zones for private networking; empty without it.')
param subnetId string
param endpointsSubnetId string
param zoneIds object

param appInsightsConnectionString string
param cosmosEndpoint string
param databaseName string
param serviceBusHost string
param vaultUri string
param redisUrl string
param topicEndpoint string

@description('Among how many instances the rate limits are divided while Redis does not answer.')
param expectedInstances int

@description('Settings of this app alone.')
param extraSettings object

var isPrivate = !empty(subnetId)
var packageContainer = 'app-package'
var storageName = take('st${appName}${token}', 24)

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: storageSku }
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    defaultToOAuthAuthentication: true
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: { bypass: 'AzureServices', defaultAction: isPrivate ? 'Deny' : 'Allow' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: storage
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: packageContainer
  properties: { publicAccess: 'None' }
}

// The host keeps its leases, timers and keys in blobs, and its own diagnostic events in a table.
// https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
var storageRoles = {
  blobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  tableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

resource storageAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in items(storageRoles): {
  name: guid(storage.id, appName, role.value)
  scope: storage
  properties: {
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.value)
  }
}]

module storageEndpoints 'private-endpoint.bicep' = [for kind in ['blob', 'table']: if (isPrivate) {
  name: 'endpoint-${kind}-${appName}'
  params: {
    location: location
    tags: tags
    name: 'pe-castiel-${kind}-${appName}-${token}'
    subnetId: endpointsSubnetId
    targetId: storage.id
    group: kind
    zoneId: isPrivate ? zoneIds[kind] : ''
  }
}]

// What the host and the platform read. FUNCTIONS_WORKER_RUNTIME and the like are refused on this plan.
var platformSettings = {
  AzureWebJobsStorage__accountName: storage.name
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureFunctionsWebHost__hostid: 'castiel-${appName}'
  APPLICATIONINSIGHTS_CONNECTION_STRING: appInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME: 'castiel'
  SERVICE_BUS_CONNECTION_STRING__credential: 'managedidentity'
  SERVICE_BUS_CONNECTION_STRING__clientId: identityClientId
}

// What castiel/settings.py reads; a test holds the two lists, and the defaults, to each other.
var settings = {
  CASTIEL_ENVIRONMENT: 'cloud'
  AZURE_CLIENT_ID: identityClientId
  COSMOS_ENDPOINT: cosmosEndpoint
  COSMOS_DATABASE: databaseName
  COSMOS_CONTAINER: 'sync-tasks'
  SYNC_RESULTS_CONTAINER: 'sync-results'
  CREDENTIALS_CONTAINER: 'credentials'
  SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace: serviceBusHost
  SERVICE_BUS_QUEUE: 'sync-inbound'
  SERVICE_BUS_QUEUE_OUTBOUND: 'sync-outbound'
  KEY_VAULT_URL: vaultUri
  REDIS_URL: redisUrl
  REDIS_USE_ENTRA: 'true'
  EVENT_GRID_TOPIC_ENDPOINT: topicEndpoint
  SYNC_BATCH_SIZE: '100'
  SYNC_MAX_RETRIES: '3'
  SYNC_RETRY_BASE_SECONDS: '2.0'
  SYNC_TIME_BUDGET_SECONDS: '480'
  SYNC_LEASE_SECONDS: '30'
  SYNC_MESSAGE_TTL_SECONDS: '3600'
  SYNC_CONCURRENCY: '8'
  DELETION_GUARD_PERCENT: '20'
  TOKEN_EXPIRY_THRESHOLD_MINUTES: '60'
  TOKEN_REFRESH_INTERVAL_MINUTES: '360'
  TOKEN_REFRESH_PER_SECOND: '25'
  TOKEN_KEEP_ALIVE_DAYS: '7'
  MAX_REFRESH_RETRIES: '3'
  TENANT_RATE_LIMIT_PER_MINUTE: '5000'
  WEBHOOK_RATE_LIMIT_PER_MINUTE: '100'
  RATE_LIMITER_EXPECTED_INSTANCES: string(expectedInstances)
  WEBHOOK_MAX_BODY_BYTES: '1048576'
  PROVIDER_TIMEOUT_SECONDS: '30'
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-castiel-${appName}-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: {
    reserved: true
    // A zone-redundant plan takes two always-ready instances or more, and starts two where there are fewer
    // (https://learn.microsoft.com/azure/reliability/reliability-functions).
    zoneRedundant: zoneRedundant && scale.alwaysReady > 1
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-castiel-${appName}-${token}'
  location: location
  // azd finds by this tag where a service of azure.yaml goes.
  tags: union(tags, { 'azd-service-name': appName })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    virtualNetworkSubnetId: isPrivate ? subnetId : null
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: hasHttp ? 'Allow' : 'Deny'
      appSettings: concat(
        map(items(union(platformSettings, settings, extraSettings)), setting => {
          name: setting.key
          value: setting.value
        }),
        map(functionNames, function => {
          name: 'AzureWebJobs.${function}.Disabled'
          value: contains(ownFunctions, function) ? 'false' : 'true'
        })
      )
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: union(
        {
          // On-demand instances, for each function by itself
          // (https://github.com/Azure/azure-rest-api-specs/pull/45083).
          maximumInstanceCount: scale.maximumInstanceCount
          instanceMemoryMB: scale.instanceMemoryMB
          alwaysReady: scale.alwaysReady > 0 ? [{ name: alwaysReadyGroup, instanceCount: scale.alwaysReady }] : []
        },
        // Python's default on this plan is one request at a time for each instance.
        hasHttp ? { triggers: { http: { perInstanceConcurrency: 32 } } } : {}
      )
      runtime: { name: 'python', version: '3.13' }
    }
  }
  dependsOn: [packages, storageAccess]
}

// Publishing goes by Entra ID alone.
resource publishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = [for kind in ['ftp', 'scm']: {
  parent: app
  name: kind
  properties: { allow: false }
}]

output id string = app.id
output name string = app.name
output host string = app.properties.defaultHostName
