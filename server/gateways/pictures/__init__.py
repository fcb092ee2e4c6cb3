"""The picture work: admitting uploads and cutting garments out, in processes of its own.

`pool.PictureProcesses` is what the server sees. Everything that touches pixels is imported by the worker process only,
so the server never loads OpenCV and a hostile picture meets a process that holds nothing of value.
"""
