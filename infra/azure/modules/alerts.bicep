// What wakes somebody. docs/operations.md says of each what to do.
param location string
param tags object
param token string
param componentId string
param namespaceId string
param accountId string
param cacheId string
param alertEmail string

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-castiel-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'castiel'
    enabled: true
    emailReceivers: empty(alertEmail)
      ? []
      : [{ name: 'operators', emailAddress: alertEmail, useCommonAlertSchema: true }]
  }
}

// Over what Castiel itself says, through Application Insights. The tests hold each query to the metrics' names.
var queryAlerts = [
  {
    name: 'reauth-required'
    description: 'A credential was refused by its provider: somebody has to authorise the connection again.'
    severity: 2
    query: loadTextContent('../queries/reauth-required.kql')
    column: 'Lines'
    dimension: 'credentialId'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
  {
    name: 'failure-rate'
    description: 'More than a fifth of the work of one function failed.'
    severity: 1
    query: loadTextContent('../queries/failure-rate.kql')
    column: 'FailedPercent'
    dimension: 'work'
    operator: 'GreaterThan'
    threshold: 20
    window: 'PT30M'
  }
  {
    name: 'function-failures'
    description: 'A function raised: its message goes back to the queue, and to the dead letters after ten times.'
    severity: 2
    query: loadTextContent('../queries/function-failures.kql')
    column: 'Invocations'
    dimension: 'name'
    operator: 'GreaterThan'
    threshold: 5
    window: 'PT15M'
  }
  {
    name: 'queue-age'
    description: 'Messages wait for more than 15 minutes before their work begins; a scheduled one lives for an hour.'
    severity: 2
    query: loadTextContent('../queries/queue-age.kql')
    column: 'LongestMinutes'
    dimension: 'function'
    operator: 'GreaterThan'
    threshold: 15
    window: 'PT15M'
  }
  {
    name: 'webhook-errors'
    description: 'Deliveries were answered 5xx: neither queue nor audit took them.'
    severity: 1
    query: loadTextContent('../queries/webhook-errors.kql')
    column: 'Deliveries'
    dimension: ''
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
  }
  {
    name: 'limiter-fallback'
    description: 'Redis does not answer: each instance keeps to its own small part of the rate limits.'
    severity: 2
    query: loadTextContent('../queries/limiter-fallback.kql')
    column: 'Decisions'
    dimension: ''
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
  }
  {
    name: 'attention'
    description: 'A log line asks for a person: its dimension `alert` says what for.'
    severity: 2
    query: loadTextContent('../queries/attention.kql')
    column: 'Lines'
    dimension: 'alert'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
  {
    name: 'scheduler-silent'
    description: 'SyncScheduler has not run for two hours: nothing due is queued, nothing stuck is freed.'
    severity: 1
    query: loadTextContent('../queries/scheduler-silent.kql')
    // No column: the rows are counted, so that no row at all fires too.
    column: ''
    dimension: ''
    operator: 'LessThan'
    threshold: 1
    window: 'PT2H'
  }
]

resource queryRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in queryAlerts: {
  name: 'castiel-${alert.name}-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Castiel: ${alert.name}'
    description: alert.description
    severity: alert.severity
    enabled: true
    scopes: [componentId]
    evaluationFrequency: 'PT5M'
    windowSize: alert.window
    autoMitigate: true
    criteria: {
      allOf: [
        union(
          {
            query: alert.query
            timeAggregation: empty(alert.column) ? 'Count' : 'Maximum'
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          },
          empty(alert.column) ? {} : { metricMeasureColumn: alert.column },
          empty(alert.dimension)
            ? {}
            : { dimensions: [{ name: alert.dimension, operator: 'Include', values: ['*'] }] }
        )
      ]
    }
    actions: { actionGroups: [group.id] }
  }
}]

// Over what the platform counts, whether Castiel runs or not.
var queueNames = ['sync-inbound', 'sync-outbound']
var stalled = map(queueNames, queue => {
  name: 'queue-stalled-${queue}'
  description: 'Messages wait in ${queue} and none was completed for half an hour: is its worker running?'
  severity: 1
  target: namespaceId
  window: 'PT30M'
  // A rule of two conditions takes one value of a dimension only
  // (https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#apply-multiple-conditions-to-a-metric-alert-rule).
  criteria: [
    {
      name: 'waiting'
      criterionType: 'StaticThresholdCriterion'
      metricName: 'ActiveMessages'
      timeAggregation: 'Minimum'
      operator: 'GreaterThan'
      threshold: 0
      dimensions: [{ name: 'EntityName', operator: 'Include', values: [queue] }]
    }
    {
      name: 'completed'
      criterionType: 'StaticThresholdCriterion'
      metricName: 'CompleteMessage'
      timeAggregation: 'Total'
      operator: 'LessThan'
      threshold: 1
      dimensions: [{ name: 'EntityName', operator: 'Include', values: [queue] }]
    }
  ]
})
var single = [
  {
    name: 'dead-letters'
    description: 'A queue has given up on messages: python -m castiel dlq list shows them.'
    severity: 1
    target: namespaceId
    window: 'PT5M'
    criteria: [
      {
        name: 'dead-letters'
        criterionType: 'StaticThresholdCriterion'
        metricName: 'DeadletteredMessages'
        timeAggregation: 'Maximum'
        operator: 'GreaterThan'
        threshold: 0
        dimensions: [{ name: 'EntityName', operator: 'Include', values: queueNames }]
      }
    ]
  }
  {
    name: 'database-busy'
    description: 'Cosmos DB uses over 90 % of its throughput: raise the maximum before it answers 429.'
    severity: 3
    target: accountId
    window: 'PT15M'
    criteria: [
      {
        name: 'throughput'
        criterionType: 'StaticThresholdCriterion'
        metricName: 'NormalizedRUConsumption'
        timeAggregation: 'Average'
        operator: 'GreaterThan'
        threshold: 90
        dimensions: []
      }
    ]
  }
  {
    name: 'cache-full'
    description: 'Redis uses over 80 % of its memory: it evicts nothing, and refuses writes when it is full.'
    severity: 2
    target: cacheId
    window: 'PT15M'
    criteria: [
      {
        name: 'memory'
        criterionType: 'StaticThresholdCriterion'
        metricName: 'usedmemorypercentage'
        timeAggregation: 'Maximum'
        operator: 'GreaterThan'
        threshold: 80
        dimensions: []
      }
    ]
  }
]
var metricAlerts = concat(single, stalled)

resource metricRules 'Microsoft.Insights/metricAlerts@2018-03-01' = [for alert in metricAlerts: {
  name: 'castiel-${alert.name}-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: alert.description
    severity: alert.severity
    enabled: true
    scopes: [alert.target]
    evaluationFrequency: 'PT1M'
    windowSize: alert.window
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: alert.criteria
    }
    actions: [{ actionGroupId: group.id }]
  }
}]
