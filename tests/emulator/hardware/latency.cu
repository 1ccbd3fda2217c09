// Host-side costs that a serving path pays: a launch, a graph of 60 nodes, their round trips. Build: nvcc -O2 latency.cu
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

__global__ void empty() {}

static double now() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class F> static double median(int rounds, F once) {
  std::vector<double> times;
  for (int i = 0; i < rounds; i++) {
    double start = now();
    once();
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  return times[rounds / 2];
}

int main() {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (int i = 0; i < 1000; i++) empty<<<1, 32, 0, stream>>>();
  cudaStreamSynchronize(stream);
  printf("{\"launch and wait\":%.2f,", median(2000, [&] { empty<<<1, 32, 0, stream>>>(); cudaStreamSynchronize(stream); }));
  printf("\"launch, host side, of 60 in a row\":%.2f,", median(200, [&] { for (int i = 0; i < 60; i++) empty<<<1, 32, 0, stream>>>(); }) / 60);
  cudaStreamSynchronize(stream);
  printf("\"60 launches and wait\":%.2f,", median(500, [&] { for (int i = 0; i < 60; i++) empty<<<1, 32, 0, stream>>>(); cudaStreamSynchronize(stream); }));
  for (int blocks : {1, 132}) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    for (int i = 0; i < 60; i++) empty<<<blocks, 256, 0, stream>>>();
    cudaStreamEndCapture(stream, &graph);
    cudaGraphInstantiate(&exec, graph, 0);
    for (int i = 0; i < 20; i++) cudaGraphLaunch(exec, stream);
    cudaStreamSynchronize(stream);
    printf("\"graph of 60 nodes of %d blocks, launch and wait\":%.2f,", blocks, median(1000, [&] { cudaGraphLaunch(exec, stream); cudaStreamSynchronize(stream); }));
    printf("\"graph of 60 nodes of %d blocks, launch on the host\":%.2f,", blocks, median(50, [&] { cudaGraphLaunch(exec, stream); }));
    cudaStreamSynchronize(stream);
    double start = now();
    for (int i = 0; i < 200; i++) cudaGraphLaunch(exec, stream);
    cudaStreamSynchronize(stream);
    printf("\"graph of 60 nodes of %d blocks, each of 200 in a row\":%.2f,", blocks, (now() - start) / 200);
  }
  void *device, *pinned;
  size_t input = 224 * 224 * 3;
  cudaMalloc(&device, 256 * input);
  cudaMallocHost(&pinned, 256 * input);
  for (size_t batch : {1, 8, 64, 256})
    printf("\"copy %zu images of 224 x 224 x 3 u8 from pinned memory and wait\":%.2f,", batch,
           median(200, [&] { cudaMemcpyAsync(device, pinned, batch * input, cudaMemcpyHostToDevice, stream); cudaStreamSynchronize(stream); }));
  printf("\"unit\":\"us\",\"last error\":%d}\n", (int)cudaGetLastError());
}
