// What one principal may do: each right on the smallest thing that carries it.
param principalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string

@description('Queues it sends to.')
param sendsTo string[]

@description('Queues it reads, sends to, and counts: scaling needs the length (https://learn.microsoft.com/azure/azure-functions/functions-target-based-scaling#service-bus-queues-and-topics).')
param owns string[]
param publishesMetrics bool
param namespaceName string
param accountName string
param databaseName string

@description('Containers it reads and writes; empty: all of the database.')
param containers string[]
param vaultName string
param topicName string
param componentName string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roles = {
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  eventGridDataSender: 'd5a91429-5739-47e2-a06b-3470a27159e7'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}
var cosmosDataContributor = '00000000-0000-0000-0000-000000000002'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource sent 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for name in sendsTo: {
  parent: namespace
  name: name
}]

resource owned 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for name in owns: {
  parent: namespace
  name: name
}]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: accountName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource mayQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (name, index) in sendsTo: {
  name: guid(namespaceName, name, principalId, roles.serviceBusDataSender)
  scope: sent[index]
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
  }
}]

resource mayWork 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (name, index) in owns: {
  name: guid(namespaceName, name, principalId, roles.serviceBusDataOwner)
  scope: owned[index]
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
  }
}]

// Every app writes secrets: the workers refresh tokens on use, the receiver takes a provider's first webhook secret.
resource mayKeepSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
  }
}

resource mayPublish 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, principalId, roles.eventGridDataSender)
  scope: topic
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventGridDataSender)
  }
}

resource mayMeasure 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (publishesMetrics) {
  name: guid(component.id, principalId, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// Cosmos DB has roles of its own (https://learn.microsoft.com/azure/cosmos-db/how-to-connect-role-based-access-control).
var databaseId = '${account.id}/dbs/${databaseName}'
var scopes = empty(containers) ? [databaseId] : map(containers, name => '${databaseId}/colls/${name}')

resource mayStore 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = [for scope in scopes: {
  parent: account
  name: guid(scope, principalId, cosmosDataContributor)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${cosmosDataContributor}'
    scope: scope
  }
}]
