"""eBPF without a compiler: instructions, the system call, and what the mesh's programs tell.

It knows nothing of configurations, and imports nothing but ctypes: workers may ask it.
"""
