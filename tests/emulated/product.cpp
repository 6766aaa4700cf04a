/* Products of the emulated backend: a CPU cannot run cuBLASLt, so that oneDNN makes them,
 * through the CPU's backend. Column sums are left to the kernel, so that it is tested. */
#include "kernels/cuda/product.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

struct nc_cuda_products {
    std::shared_ptr<struct nc_ops> cpu; /* graphs may outlive the backend */
};

void nc_cuda_products_version(char *text)
{
    *text = 0;
}

int nc_cuda_products_create(struct nc_backend *backend, struct nc_cuda_products **out)
{
    (void)backend;
    *out = nullptr;
    struct nc_ops cpu = {};
    int status = nc_cpu_create(0, &cpu);
    if (status != NC_OK)
        return status;
    *out = new nc_cuda_products{
        std::shared_ptr<struct nc_ops>(new struct nc_ops(cpu), [](struct nc_ops *ops) {
            nc_cpu_destroy(ops->backend);
            delete ops;
        })};
    return NC_OK;
}

void nc_cuda_products_destroy(struct nc_cuda_products *products)
{
    delete products;
}

static int forward(struct nc_ops *cpu, const struct nc_cuda_product &p)
{
    std::vector<float> bias(p.bias ? p.out : 0);
    if (p.bias)
        nc_convert(bias.data(), NC_FLOAT32, p.bias, p.d_type, p.out);
    struct nc_linear l = {};
    l.type = p.type;
    l.rows = p.rows;
    l.in = p.in;
    l.out = p.out;
    l.x = p.a;
    l.weight = p.b;
    l.bias = p.bias ? bias.data() : nullptr;
    l.residual = static_cast<const float *>(p.addend);
    l.y = p.d;
    l.y_type = p.d_type;
    return cpu->linear(cpu->backend, &l);
}

static int backward_input(struct nc_ops *cpu, const struct nc_cuda_product &p)
{
    struct nc_linear_backward_input l = {p.type, p.rows, p.in, p.out, p.a, p.b, p.d};
    return cpu->linear_backward_input(cpu->backend, &l);
}

static int backward_weight(struct nc_ops *cpu, const struct nc_cuda_product &p)
{
    struct nc_linear_backward_weight l = {};
    l.type = p.type;
    l.rows = p.rows;
    l.in = p.in;
    l.out = p.out;
    l.x = p.a;
    l.dy = p.b;
    l.accumulate = p.addend != nullptr;
    l.dweight = static_cast<float *>(p.d);
    return cpu->linear_backward_weight(cpu->backend, &l);
}

int nc_cuda_product(struct nc_backend *backend, struct nc_cuda_products *products,
                    const struct nc_cuda_product *product, bool *summed)
{
    *summed = false;
    struct nc_cuda_product p = *product;
    std::shared_ptr<struct nc_ops> cpu = products->cpu;
    cudaError_t error = nc_emulated_enqueue(backend->compute, [p, cpu] {
        int status = p.kind == NC_FORWARD          ? forward(cpu.get(), p)
                     : p.kind == NC_BACKWARD_INPUT ? backward_input(cpu.get(), p)
                                                   : backward_weight(cpu.get(), p);
        if (status != NC_OK)
            nc_emulated_fail(nullptr, 0, "%s: %s", p.operation, nc_error_message());
    });
    return nc_cuda_check(error, p.operation);
}
