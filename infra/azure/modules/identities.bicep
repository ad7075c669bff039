// One identity per app, made before the apps so that each has its rights when it starts.
param location string
param tags object
param token string
param appNames string[]

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [for name in appNames: {
  name: 'id-castiel-${name}-${token}'
  location: location
  tags: tags
}]

output ids string[] = [for (name, index) in appNames: identities[index].id]
output clientIds string[] = [for (name, index) in appNames: identities[index].properties.clientId]
output principals array = [for (name, index) in appNames: {
  name: name
  objectId: identities[index].properties.principalId
}]
