"""What tests stand on: private servers, and the service's own processes, each started and ended by its pid."""
