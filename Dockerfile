# Trajectory for visitors: with CUDA where `docker run --gpus all` gives it a GPU, else on the CPU.
#   docker build -t trajectory .
#   docker run -p 8501:8501 -v trajectory:/data --shm-size=1g trajectory
# Without CUDA's four gigabytes, from a package index that has PyTorch's builds for the CPU:
#   docker build -t trajectory --build-arg CPU_INDEX=ADDRESS .
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt requirements.lock ./
ARG CPU_INDEX=
# torch and torchaudio must be of one family: both come from the same index. All else has the versions of the lock in both cases.
RUN if [ -z "$CPU_INDEX" ]; then \
        pip install --no-cache-dir --require-hashes -r requirements.lock; \
    else \
        grep -E '^torch(audio)?==' requirements.txt > torch.txt \
        && sed -nE 's/^([a-z].*[^ ]) *\\$/\1/p' requirements.lock > pins.txt \
        && pip install --no-cache-dir --index-url "$CPU_INDEX" -r torch.txt \
        && pip install --no-cache-dir --constraint pins.txt -r requirements.txt; \
    fi

COPY app.py LICENSE ./
COPY .streamlit .streamlit
COPY assets assets
COPY pages pages
COPY static static
COPY trajectory trajectory

RUN useradd --create-home --uid 1000 listener && install --directory --owner=listener /data
USER listener
ENV TRAJECTORY_HOME=/data \
    TRAJECTORY_DEPLOYMENT=shared \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/health', timeout=4)"]
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
