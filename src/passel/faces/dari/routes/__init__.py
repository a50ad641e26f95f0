"""One file a resource. Each makes a router from the dependencies of the process."""
