"""Picture work: re-encoding uploads and cutting garments out, in separate worker processes.

The server uses `pool.PictureProcesses` only. Modules that decode or change pixels are imported by the worker process
alone: the server never loads OpenCV, and a malicious picture can attack only a process that holds no secrets.
"""
