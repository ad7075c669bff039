// Service Bus with both queues. Private endpoints need the Premium tier
// (https://learn.microsoft.com/azure/service-bus-messaging/private-link-service).
param location string
param tags object
param token string
param premium bool
param premiumMessagingUnits int
param workspaceId string

var queueNames = ['sync-inbound', 'sync-outbound']

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'sb-castiel-${token}'
  location: location
  tags: tags
  sku: premium
    ? { name: 'Premium', tier: 'Premium', capacity: premiumMessagingUnits }
    : { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: premium ? 'Disabled' : 'Enabled'
  }
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for name in queueNames: {
  parent: namespace
  name: name
  properties: {
    // Set when a queue is created: it cannot be turned on later.
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT5M'
    // The host renews it for as long as functionTimeout: a short lock lets a dead worker's messages go soon.
    lockDuration: 'PT1M'
    maxDeliveryCount: 10
    defaultMessageTimeToLive: 'PT1H'
    deadLetteringOnMessageExpiration: true
    requiresSession: false
    maxSizeInMegabytes: 5120
    enablePartitioning: false
  }
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'operations'
  scope: namespace
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'OperationalLogs', enabled: true }]
  }
}

output id string = namespace.id
output name string = namespace.name
output host string = '${namespace.name}.servicebus.windows.net'
