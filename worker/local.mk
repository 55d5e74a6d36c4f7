# The worker: agent, trainer process, collective process, and the libraries they stand on. Each folder
# says itself what it builds.
include worker/kernels/local.mk
include worker/state/local.mk
include worker/checkpoint/local.mk
include worker/trainers/local.mk
include worker/data/local.mk
include worker/comm/local.mk
include worker/agent.mk
