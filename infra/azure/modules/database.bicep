// Cosmos DB with every container: castiel/azure/cosmos_containers.py has the same list, and a test compares them.
// Indexed is what a query filters or sorts by, and nothing else: writes cost by the index (docs/adr/0021).
param location string
param tags object
param token string
param databaseName string
param serverless bool

@description('Autoscale maxima in RU/s: `database` for all containers that are not named. Without meaning when serverless.')
param throughput object
param backupTier string
param zoneRedundant bool
param publicAccess bool
param workspaceId string

var day = 86400
var containers = [
  {
    name: 'sync-tasks'
    partitionKey: ['/tenantId']
    indexed: ['/tenantId/?', '/enabled/?', '/priority/?', '/status/?', '/nextScheduled/?']
    composite: [
      [{ path: '/enabled', order: 'ascending' }, { path: '/priority', order: 'ascending' }, { path: '/status', order: 'ascending' }]
      [{ path: '/enabled', order: 'ascending' }, { path: '/priority', order: 'ascending' }, { path: '/nextScheduled', order: 'ascending' }]
    ]
    ttl: 0
  }
  {
    name: 'sync-results'
    partitionKey: ['/tenantId', '/executedOn']
    indexed: ['/tenantId/?', '/executedOn/?', '/executedAt/?', '/kind/?']
    composite: []
    ttl: 30 * day
  }
  {
    name: 'shards'
    partitionKey: ['/tenantId', '/shardType']
    indexed: [
      '/tenantId/?'
      '/shardType/?'
      '/referenceKeys/[]/?'
      '/blockingKeys/[]/?'
      '/references/[]/connectionId/?'
      '/references/[]/entity/?'
      '/links/[]/shardId/?'
      '/links/[]/relation/?'
      '/deleted/?'
      '/outboxSince/?'
      '/updatedAt/?'
    ]
    composite: []
    ttl: 0
  }
  {
    name: 'connections'
    partitionKey: ['/tenantId']
    indexed: ['/tenantId/?', '/credentialId/?', '/status/?']
    composite: []
    ttl: 0
  }
  {
    name: 'credentials'
    partitionKey: ['/tenantId']
    indexed: [
      '/tenantId/?'
      '/type/?'
      '/enabled/?'
      '/expiryTime/?'
      '/refreshable/?'
      '/lastRefreshedAt/?'
      '/warnAt/?'
    ]
    composite: [
      [{ path: '/type', order: 'ascending' }, { path: '/enabled', order: 'ascending' }, { path: '/expiryTime', order: 'ascending' }]
      [{ path: '/enabled', order: 'ascending' }, { path: '/warnAt', order: 'ascending' }]
    ]
    ttl: 0
  }
  {
    name: 'conversion-schemas'
    partitionKey: ['/tenantId']
    indexed: ['/tenantId/?']
    composite: []
    ttl: 0
  }
  {
    name: 'conflicts'
    partitionKey: ['/tenantId']
    indexed: ['/tenantId/?']
    composite: []
    ttl: 0
  }
  {
    name: 'webhooks'
    partitionKey: ['/id']
    indexed: ['/tenantId/?', '/renewAt/?']
    composite: []
    ttl: 0
  }
  {
    name: 'webhook-audit'
    partitionKey: ['/registrationId', '/receivedOn']
    indexed: ['/registrationId/?', '/receivedOn/?', '/receivedAt/?', '/pending/?']
    composite: []
    ttl: 30 * day
  }
  {
    name: 'token-refresh'
    partitionKey: ['/id']
    indexed: ['/partOf/?', '/executedAt/?']
    composite: []
    ttl: 90 * day
  }
]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: 'cosmos-castiel-${token}'
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: zoneRedundant }]
    // A worker must see what the worker before it wrote (docs/adr/0021).
    consistencyPolicy: { defaultConsistencyLevel: 'Strong' }
    capabilities: serverless ? [{ name: 'EnableServerless' }] : []
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: backupTier } }
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  properties: {
    resource: { id: databaseName }
    options: serverless ? {} : { autoscaleSettings: { maxThroughput: throughput.database } }
  }
}

resource stores 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = [for container in containers: {
  parent: database
  name: container.name
  properties: {
    resource: union(
      {
        id: container.name
        partitionKey: {
          paths: container.partitionKey
          kind: length(container.partitionKey) > 1 ? 'MultiHash' : 'Hash'
          version: 2
        }
        indexingPolicy: {
          indexingMode: 'consistent'
          automatic: true
          includedPaths: map(container.indexed, path => { path: path })
          excludedPaths: [{ path: '/*' }]
          compositeIndexes: container.composite
        }
      },
      container.ttl > 0 ? { defaultTtl: container.ttl } : {}
    )
    options: serverless || !contains(throughput, container.name)
      ? {}
      : { autoscaleSettings: { maxThroughput: throughput[container.name] } }
  }
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'operations'
  scope: account
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'ControlPlaneRequests', enabled: true }, { category: 'PartitionKeyStatistics', enabled: true }]
  }
}

output accountId string = account.id
output accountName string = account.name
output endpoint string = account.properties.documentEndpoint
