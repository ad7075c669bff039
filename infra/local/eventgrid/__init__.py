"""One Azure Event Grid custom topic for CloudEvents, as azure-eventgrid publishes to it, keeping what it got."""
