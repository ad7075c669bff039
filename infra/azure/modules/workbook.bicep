// The wall: infra/azure/workbook.json is the Workbook's own format; here it gets the ids of what it looks at.
param location string
param tags object
param componentId string
param namespaceId string
param accountId string
param cacheId string
param vaultId string

var template = loadTextContent('../workbook.json')
var withBus = replace(template, '<service-bus>', namespaceId)
var withDatabase = replace(withBus, '<cosmos-db>', accountId)
var withCache = replace(withDatabase, '<redis>', cacheId)
var content = replace(withCache, '<key-vault>', vaultId)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(componentId, 'castiel')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Castiel'
    category: 'workbook'
    sourceId: componentId
    version: 'Notebook/1.0'
    serializedData: content
  }
}
