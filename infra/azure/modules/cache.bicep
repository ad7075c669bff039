// Azure Managed Redis: Azure Cache for Redis takes no new instances.
// https://learn.microsoft.com/azure/redis/overview
param location string
param tags object
param token string
param sku string
param highAvailability string
param publicAccess bool

@description('Who may use it: name and objectId of each.')
param principals array

resource cluster 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: 'redis-castiel-${token}'
  location: location
  tags: tags
  sku: { name: sku }
  properties: {
    minimumTlsVersion: '1.2'
    highAvailability: highAvailability
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
  }
}

resource database 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: cluster
  name: 'default'
  properties: {
    clientProtocol: 'Encrypted'
    port: 10000
    accessKeysAuthentication: 'Disabled'
    // One shard: Castiel has not been run against a cluster yet (docs/adr/0022).
    clusteringPolicy: 'NoCluster'
    // A lease or a limit that is thrown out to make room would let two workers do one thing.
    evictionPolicy: 'NoEviction'
    persistence: { aofEnabled: true, aofFrequency: '1s', rdbEnabled: false }
  }
}

// One after the other: the service refuses two changes of a database at once.
@batchSize(1)
resource access 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = [for principal in principals: {
  parent: database
  name: principal.name
  properties: {
    accessPolicyName: 'default'
    user: { objectId: principal.objectId }
  }
}]

output id string = cluster.id
output url string = 'rediss://${cluster.properties.hostName}:10000'
