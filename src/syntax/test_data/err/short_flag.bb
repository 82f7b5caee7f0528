unset A[b]
