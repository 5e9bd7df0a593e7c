//! What a container is given before it starts: its command, environment, user and files (`pkg/kubelet/kubelet_pods.go`,
//! `pkg/kubelet/kuberuntime`, `pkg/volume`).
