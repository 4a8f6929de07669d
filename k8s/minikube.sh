#!/bin/sh
# A cluster for development in minikube; its network plugin enforces NetworkPolicies.
exec minikube start --profile flobc --cpus 4 --memory 8g --cni calico "$@"
