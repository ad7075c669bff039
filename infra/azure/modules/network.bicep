// The network for private endpoints: one subnet for the apps, one for the endpoints, and the services' names.
param location string
param tags object
param token string

// https://learn.microsoft.com/azure/private-link/private-endpoint-dns
var zones = {
  servicebus: 'privatelink.servicebus.windows.net'
  documents: 'privatelink.documents.azure.com'
  vault: 'privatelink.vaultcore.azure.net'
  redis: 'privatelink.redis.azure.net'
  eventgrid: 'privatelink.eventgrid.azure.net'
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  table: 'privatelink.table.${environment().suffixes.storage}'
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: 'vnet-castiel-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.40.0.0/16'] }
    subnets: [
      {
        name: 'functions'
        properties: {
          addressPrefix: '10.40.0.0/22'
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.40.4.0/24'
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}

resource dns 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in items(zones): {
  name: zone.value
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, index) in items(zones): {
  parent: dns[index]
  name: 'castiel'
  location: 'global'
  tags: tags
  properties: {
    virtualNetwork: { id: network.id }
    registrationEnabled: false
  }
}]

output networkId string = network.id
output functionsSubnetId string = '${network.id}/subnets/functions'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
output zoneIds object = {
  servicebus: resourceId('Microsoft.Network/privateDnsZones', zones.servicebus)
  documents: resourceId('Microsoft.Network/privateDnsZones', zones.documents)
  vault: resourceId('Microsoft.Network/privateDnsZones', zones.vault)
  redis: resourceId('Microsoft.Network/privateDnsZones', zones.redis)
  eventgrid: resourceId('Microsoft.Network/privateDnsZones', zones.eventgrid)
  blob: resourceId('Microsoft.Network/privateDnsZones', zones.blob)
  table: resourceId('Microsoft.Network/privateDnsZones', zones.table)
}
