// Castiel in Azure: one resource group with everything in docs/deploy.md. For `azd up` and `az deployment sub create`.
targetScope = 'subscription'

@description('Name of the environment; part of every resource\'s name.')
@minLength(2)
@maxLength(16)
param environmentName string

@description('Region of everything.')
param location string

@description('Sizes, redundancy and retention: see `sizes` below.')
@allowed(['dev', 'prod'])
param size string = 'dev'

@description('Private endpoints and a virtual network; Service Bus becomes Premium.')
param privateNetworking bool = false

@description('Object id of the person or group that operates Castiel from the command line; empty: nobody.')
param operatorPrincipalId string = ''

@description('What the operator is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Where alerts are mailed to; empty: they show in the portal only.')
param alertEmail string = ''

// What dev and prod differ in. Instances, memory and the always-ready ones: docs/scaling-and-cost.md.
var sizes = {
  dev: {
    orchestrator: { maximumInstanceCount: 1, instanceMemoryMB: 2048, alwaysReady: 0 }
    inbound: { maximumInstanceCount: 2, instanceMemoryMB: 2048, alwaysReady: 0 }
    outbound: { maximumInstanceCount: 4, instanceMemoryMB: 2048, alwaysReady: 0 }
    webhook: { maximumInstanceCount: 10, instanceMemoryMB: 512, alwaysReady: 0 }
    cosmosServerless: true
    cosmosThroughput: { database: 0, shards: 0, 'sync-results': 0, 'webhook-audit': 0 }
    cosmosBackupTier: 'Continuous7Days'
    redisSku: 'Balanced_B0'
    redisHighAvailability: 'Disabled'
    zoneRedundant: false
    storageSku: 'Standard_LRS'
    logRetentionDays: 30
    logDailyCapGb: 1
    premiumMessagingUnits: 1
  }
  prod: {
    orchestrator: { maximumInstanceCount: 1, instanceMemoryMB: 2048, alwaysReady: 1 }
    inbound: { maximumInstanceCount: 10, instanceMemoryMB: 2048, alwaysReady: 1 }
    outbound: { maximumInstanceCount: 50, instanceMemoryMB: 2048, alwaysReady: 1 }
    webhook: { maximumInstanceCount: 200, instanceMemoryMB: 512, alwaysReady: 1 }
    cosmosServerless: false
    // Autoscale maxima in RU/s; a tenth of them is the floor that is paid for.
    cosmosThroughput: { database: 4000, shards: 20000, 'sync-results': 4000, 'webhook-audit': 10000 }
    cosmosBackupTier: 'Continuous30Days'
    redisSku: 'Balanced_B3'
    redisHighAvailability: 'Enabled'
    zoneRedundant: true
    storageSku: 'Standard_ZRS'
    logRetentionDays: 90
    logDailyCapGb: 20
    premiumMessagingUnits: 1
  }
}
var sized = sizes[size]

// Four apps of one package: a Flex Consumption app has one maximum for all its functions (docs/adr/0020).
var apps = [
  {
    name: 'orchestrator'
    functions: ['SyncScheduler', 'TokenRefresher']
    alwaysReady: 'function:SyncScheduler'
    sends: ['sync-inbound', 'sync-outbound']
    receives: ''
    settings: {}
  }
  {
    name: 'inbound'
    functions: ['SyncInboundWorker']
    alwaysReady: 'function:SyncInboundWorker'
    sends: ['sync-outbound']
    receives: 'sync-inbound'
    settings: {
      // One more instance for each so many messages that wait.
      AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls: '8'
    }
  }
  {
    name: 'outbound'
    functions: ['SyncOutboundWorker']
    alwaysReady: 'function:SyncOutboundWorker'
    sends: ['sync-inbound']
    receives: 'sync-outbound'
    settings: {
      AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls: '1'
      AzureFunctionsJobHost__extensions__serviceBus__maxMessageBatchSize: '50'
    }
  }
  {
    name: 'webhook'
    functions: ['WebhookReceiver']
    alwaysReady: 'http'
    sends: ['sync-inbound', 'sync-outbound']
    receives: ''
    settings: {
      // The platform ends a request at 230 seconds.
      AzureFunctionsJobHost__functionTimeout: '00:03:50'
    }
  }
]
var functionNames = ['SyncScheduler', 'SyncInboundWorker', 'SyncOutboundWorker', 'TokenRefresher', 'WebhookReceiver']

// While Redis is away each instance takes its part of a provider's limits: of as many as may call providers at once.
var callers = sized.orchestrator.maximumInstanceCount + sized.inbound.maximumInstanceCount + sized.outbound.maximumInstanceCount

var tags = { 'azd-env-name': environmentName, application: 'castiel' }
var token = toLower(uniqueString(subscription().id, environmentName, location))
var databaseName = 'castiel'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-castiel-${environmentName}'
  location: location
  tags: tags
}

module identities 'modules/identities.bicep' = {
  name: 'identities'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    appNames: [for app in apps: app.name]
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    retentionDays: sized.logRetentionDays
    dailyCapGb: sized.logDailyCapGb
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
  }
}

module messaging 'modules/messaging.bicep' = {
  name: 'messaging'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    premium: privateNetworking
    premiumMessagingUnits: sized.premiumMessagingUnits
    workspaceId: monitoring.outputs.workspaceId
  }
}

module database 'modules/database.bicep' = {
  name: 'database'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    databaseName: databaseName
    serverless: sized.cosmosServerless
    throughput: sized.cosmosThroughput
    backupTier: sized.cosmosBackupTier
    zoneRedundant: sized.zoneRedundant
    publicAccess: !privateNetworking
    workspaceId: monitoring.outputs.workspaceId
  }
}

module cache 'modules/cache.bicep' = {
  name: 'cache'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    sku: sized.redisSku
    highAvailability: sized.redisHighAvailability
    publicAccess: !privateNetworking
    principals: concat(identities.outputs.principals, operator)
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    publicAccess: !privateNetworking
    workspaceId: monitoring.outputs.workspaceId
  }
}

module events 'modules/events.bicep' = {
  name: 'events'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    publicAccess: !privateNetworking
  }
}

module functionApps 'modules/function-app.bicep' = [for (app, index) in apps: {
  name: 'app-${app.name}'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    appName: app.name
    functionNames: functionNames
    ownFunctions: app.functions
    identityId: identities.outputs.ids[index]
    identityClientId: identities.outputs.clientIds[index]
    identityPrincipalId: identities.outputs.principals[index].objectId
    storageSku: sized.storageSku
    scale: sized[app.name]
    alwaysReadyGroup: app.alwaysReady
    hasHttp: contains(app.functions, 'WebhookReceiver')
    zoneRedundant: sized.zoneRedundant
    subnetId: privateNetworking ? network!.outputs.functionsSubnetId : ''
    endpointsSubnetId: privateNetworking ? network!.outputs.endpointsSubnetId : ''
    zoneIds: privateNetworking ? network!.outputs.zoneIds : {}
    appInsightsConnectionString: monitoring.outputs.connectionString
    cosmosEndpoint: database.outputs.endpoint
    databaseName: databaseName
    serviceBusHost: messaging.outputs.host
    vaultUri: vault.outputs.uri
    redisUrl: cache.outputs.url
    topicEndpoint: events.outputs.endpoint
    expectedInstances: app.name == 'webhook' ? sized.webhook.maximumInstanceCount : callers
    extraSettings: app.settings
  }
}]

// Rights of each app, on each thing it uses.
module access 'modules/access.bicep' = [for (app, index) in apps: {
  name: 'access-${app.name}'
  scope: group
  params: {
    principalId: identities.outputs.principals[index].objectId
    principalType: 'ServicePrincipal'
    sendsTo: app.sends
    owns: empty(app.receives) ? [] : [app.receives]
    publishesMetrics: true
    namespaceName: messaging.outputs.name
    accountName: database.outputs.accountName
    databaseName: databaseName
    containers: app.name == 'webhook' ? ['webhooks', 'webhook-audit', 'connections', 'credentials'] : []
    vaultName: vault.outputs.name
    topicName: events.outputs.name
    componentName: monitoring.outputs.componentName
  }
}]

// Without local authentication, a person has no way in but a role.
module operatorAccess 'modules/access.bicep' = if (!empty(operatorPrincipalId)) {
  name: 'access-operator'
  scope: group
  params: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    sendsTo: []
    owns: ['sync-inbound', 'sync-outbound']
    publishesMetrics: false
    namespaceName: messaging.outputs.name
    accountName: database.outputs.accountName
    databaseName: databaseName
    containers: []
    vaultName: vault.outputs.name
    topicName: events.outputs.name
    componentName: monitoring.outputs.componentName
  }
}

var operator = empty(operatorPrincipalId) ? [] : [{ name: 'operator', objectId: operatorPrincipalId }]

var endpoints = [
  { name: 'service-bus', group: 'namespace', zone: 'servicebus' }
  { name: 'cosmos', group: 'Sql', zone: 'documents' }
  { name: 'vault', group: 'vault', zone: 'vault' }
  { name: 'redis', group: 'redisEnterprise', zone: 'redis' }
  { name: 'topic', group: 'topic', zone: 'eventgrid' }
]
module privateEndpoints 'modules/private-endpoint.bicep' = [for (endpoint, index) in endpoints: if (privateNetworking) {
  name: 'endpoint-${endpoint.name}'
  scope: group
  params: {
    location: location
    tags: tags
    name: 'pe-castiel-${endpoint.name}-${token}'
    subnetId: network!.outputs.endpointsSubnetId
    targetId: [messaging.outputs.id, database.outputs.accountId, vault.outputs.id, cache.outputs.id, events.outputs.id][index]
    group: endpoint.group
    zoneId: network!.outputs.zoneIds[endpoint.zone]
  }
}]

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    componentId: monitoring.outputs.componentId
    namespaceId: messaging.outputs.id
    accountId: database.outputs.accountId
    cacheId: cache.outputs.id
    alertEmail: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    componentId: monitoring.outputs.componentId
    namespaceId: messaging.outputs.id
    accountId: database.outputs.accountId
    cacheId: cache.outputs.id
    vaultId: vault.outputs.id
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output WEBHOOK_ADDRESS string = 'https://${functionApps[3].outputs.host}/webhooks'
// What `python -m castiel` needs on the operator's machine (after `az login`).
output COSMOS_ENDPOINT string = database.outputs.endpoint
output COSMOS_DATABASE string = databaseName
output SERVICE_BUS_CONNECTION_STRING__fullyQualifiedNamespace string = messaging.outputs.host
output KEY_VAULT_URL string = vault.outputs.uri
output REDIS_URL string = cache.outputs.url
output REDIS_USE_ENTRA string = 'true'
output EVENT_GRID_TOPIC_ENDPOINT string = events.outputs.endpoint
