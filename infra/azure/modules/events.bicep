// Event Grid: what others may want to know of (castiel.sync.completed and the like).
param location string
param tags object
param token string
param publicAccess bool

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: 'evgt-castiel-${token}'
  location: location
  tags: tags
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
  }
}

output id string = topic.id
output name string = topic.name
output endpoint string = topic.properties.endpoint
